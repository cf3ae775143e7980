with

{{ billed_payers() }},

known_hosts as (

    select distinct
        billing_month,
        host_id
    from {{ ref('stg_cur__dedicated_hosts') }}

),

pooled as (

    select
        shared.billing_month,
        shared.payer_account_id,
        count(*) as hour_count,
        sum(shared.amortized_usd) as amortized_usd,
        min(shared.host_id) as example
    from {{ ref('int_bill_lines__shared') }} as shared
    left join known_hosts
        on
            shared.billing_month = known_hosts.billing_month
            and shared.host_id = known_hosts.host_id
    where shared.role = 'host' and known_hosts.host_id is null
    group by shared.billing_month, shared.payer_account_id

),

{{ none_of_payers(
    'pooled', 'hour_count', 'pooled.amortized_usd',
    "hours of Dedicated Hosts of which nothing says what ran on them; hosts of a family are shared by its instances",
) }}

select * from final
