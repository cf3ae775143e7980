with

source as (

    select * from {{ source('distribution', 'policy') }}

),

renamed as (

    select
        billing_month,
        name as policy_name,
        sha256 as policy_sha256,
        needs_nodes
    from source

)

select * from renamed
