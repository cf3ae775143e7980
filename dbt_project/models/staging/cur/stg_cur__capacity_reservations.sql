with

source as (

    select * from {{ source('raw', 'capacity_reservations') }}

),

renamed as (

    select
        billing_month,
        capacity_reservation_id,
        reservation_type,
        account_id,
        region,
        instance_type,
        instance_count,
        starts_at,
        ends_at,
        state,
        tags,
        source
    from source

)

select * from renamed
