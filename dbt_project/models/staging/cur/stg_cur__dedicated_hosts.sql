with

source as (

    select * from {{ source('raw', 'dedicated_hosts') }}

),

renamed as (

    select
        billing_month,
        host_id,
        account_id,
        region,
        instance_family,
        total_vcpus,
        instance_id,
        source
    from source

)

select * from renamed
